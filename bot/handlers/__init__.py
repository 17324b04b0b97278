"""What comes in: Slack buttons, modals and commands."""
