-- GB/T 28181: main or sub stream of a device.

ALTER TABLE gb_device ADD COLUMN stream text NOT NULL DEFAULT 'main' CHECK (stream IN ('main', 'sub'));
COMMENT ON COLUMN gb_device.stream IS 'Which stream of its channels is asked for.';
