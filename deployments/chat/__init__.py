"""What the chat understands: dialogues become wishes (`wishes`), wishes lists (`lists`). Imports no routes."""
