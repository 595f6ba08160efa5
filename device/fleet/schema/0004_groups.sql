-- Settings from above. A group is everybody ("all"), a site by its name, or named devices; a narrower one counts more.

CREATE TABLE groups (
    name text PRIMARY KEY CHECK (name <> '' AND name <> 'all')
);
CREATE TABLE group_devices (
    group_name text NOT NULL REFERENCES groups ON DELETE CASCADE,
    device_id uuid NOT NULL REFERENCES devices,
    PRIMARY KEY (group_name, device_id)
);
CREATE TABLE group_settings (
    group_name text NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    PRIMARY KEY (group_name, key)
);
ALTER TABLE devices ADD COLUMN settings jsonb;  -- what the device says of its settings: {"values", "refused", "restart"}

CREATE FUNCTION settings_of(device uuid) RETURNS TABLE (key text, value jsonb, of text) LANGUAGE sql STABLE SET search_path = clockface, pg_temp AS $$
    SELECT DISTINCT ON (s.key) s.key, s.value, s.group_name
    FROM devices d LEFT JOIN sites p ON p.id = d.site_id
    JOIN group_settings s ON s.group_name = 'all' OR s.group_name = p.name
        OR EXISTS (SELECT 1 FROM group_devices g WHERE g.group_name = s.group_name AND g.device_id = d.id)
    WHERE d.id = settings_of.device
    ORDER BY s.key, CASE s.group_name WHEN 'all' THEN 1 WHEN p.name THEN 2 ELSE 3 END DESC, s.group_name
$$;

CREATE FUNCTION my_settings() RETURNS TABLE (key text, value jsonb, of text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    SELECT * FROM settings_of((SELECT (me()).id))
$$;

CREATE FUNCTION tell_settings(settings jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = clockface, pg_temp AS $$
    UPDATE devices d SET settings = tell_settings.settings WHERE d.id = (me()).id
$$;

REVOKE ALL ON FUNCTION settings_of(uuid), my_settings(), tell_settings(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION my_settings(), tell_settings(jsonb) TO clockface_terminal, clockface_desk;
