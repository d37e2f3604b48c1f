"""The tags by which a run records how its table was split."""

ROWS_TAG = "boostlab.rows"  # a JSON object: the rows of each part
LEFT_OUT_TAG = "boostlab.rows_left_out"  # a JSON object: the rows that no part has, by reason
TIME_FORMAT_TAG = "boostlab.time_format"  # in which a time column of text was read
JUDGING_TAG = "boostlab.judging_rows"  # a digest of the rows that stop the training and that test it; known before the training
