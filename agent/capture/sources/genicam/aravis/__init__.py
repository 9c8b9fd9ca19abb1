"""Cameras through libaravis: the backend that needs no producer."""
