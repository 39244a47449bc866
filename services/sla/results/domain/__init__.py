"""What a metric comes to: measured, judged unrounded, shown without hiding a miss."""
