"""The changes service: whatever a body decides, and the change-request log (M3 Playbook 5.3, best practice BP1)."""
