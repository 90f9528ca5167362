"""What is done to a run as a whole: begun, driven on, left, followed, taken up, cleaned up."""
