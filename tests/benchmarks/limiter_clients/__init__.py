"""What the limiter's benchmark compares: ways of sending many calls to one model, ours among them."""
