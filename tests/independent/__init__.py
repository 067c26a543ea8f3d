"""Readers of disks and hives that share no code with recoverykit."""
