"""What a repair changes on a real NTFS volume, to the last value, and that undo brings all back."""
