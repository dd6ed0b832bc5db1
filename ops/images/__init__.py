"""The images the stages run in: built here or by Cloud Build, tested, pushed."""
