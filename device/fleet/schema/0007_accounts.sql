-- Approved overtime and bookings to accounts.

INSERT INTO record_kinds VALUES
    ('overtime_approvals', 'person', true, 'day', 'day'),
    ('account_bookings', 'person', true, NULL, NULL);
