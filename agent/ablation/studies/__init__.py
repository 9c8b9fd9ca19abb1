"""What costs hundreds of passes: patch occlusion, insertion and deletion, cross-checks."""
