-- Further calendars of holidays, and whose they are.

INSERT INTO record_kinds VALUES
    ('calendar_days', 'company', false, 'day', 'day'),
    ('plan_calendars', 'company', false, NULL, NULL),
    ('person_calendars', 'person', false, NULL, NULL);
