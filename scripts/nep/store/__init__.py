"""Results that users and runs share."""
