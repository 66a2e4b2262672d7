package manifest

import "mxcluster/xdata/internal/datatest"

var (
	must     = datatest.Must
	wantCode = datatest.WantCode
	aclOf    = datatest.ACL
)
