"""Frame -> SegmentedFrame: mask, margins, suture angle or no-read, stem position."""
