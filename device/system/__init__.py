"""The machine: clock, files, locks, hardware, TPM, systemd, GPIO, memory, restarting parts."""
