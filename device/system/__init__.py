"""The machine: clock, files, locks, hardware, TPM, systemd, GPIO, memory, and restarts of failed parts."""
