"""Viewers out: HTTP-FLV and WS-FLV."""
