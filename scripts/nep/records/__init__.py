"""Records: the annotations and questions of a data set as typed rows, and the reasons for leaving one out."""
