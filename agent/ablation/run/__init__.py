"""The course of one explanation: batches of items through the model, with the controls."""
