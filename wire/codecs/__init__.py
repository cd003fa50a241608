"""Bitstreams: H.264, H.265, AAC and Opus configuration records and units."""
