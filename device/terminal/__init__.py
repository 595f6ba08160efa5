"""The terminal at work: pipeline, enrolment, capture, prompts, supervisor."""
