"""The pages of the touch screen: recognition, enrolment, own times."""
