"""Publishers in: RTMP now."""
