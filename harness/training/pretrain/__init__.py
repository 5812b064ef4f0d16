"""Parts of `fathom pretrain`: models, rows, exams, checkpoints, the loss curve, and the card."""
