"""Events: rooms, danmaku, likes and commerce on the stream's timeline."""
