"""RTP and RTCP: packets, payload formats, and the sequence numbers that order them."""
