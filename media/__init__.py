"""What a stream is: tracks, access units, the timeline, and the hub that holds the streams."""
