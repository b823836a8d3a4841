package doctor

import (
	"context"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/ninep"
)

// xattrName is of the kind that any user may set.
const xattrName = "user.csi-9p"

// checkXattr gives the file an extended attribute and reads it back.
func checkXattr(ctx context.Context, file *ninep.Fid) Check {
	c := Check{Name: "extended attributes", Status: OK, Found: "yes"}
	const value = "doctor"
	err := file.SetXattr(ctx, xattrName, []byte(value), 0)
	var got []byte
	if err == nil {
		got, err = file.GetXattr(ctx, xattrName)
	}
	switch {
	case err != nil:
		c.Status, c.Found, c.Cure = Warn, err.Error(), cureOf(driver.Advice(err))
	case string(got) != value:
		c.Status, c.Found, c.Cure = Warn, "what is set is not what is read", "do not rely on them on this server"
	}
	return c
}
