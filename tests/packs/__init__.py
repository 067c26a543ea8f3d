"""Tests of the room that reads and carries out remediation packs."""
