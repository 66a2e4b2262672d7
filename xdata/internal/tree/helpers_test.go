package tree

import "mxcluster/xdata/internal/datatest"

var (
	must  = datatest.Must
	noise = datatest.Noise
)
