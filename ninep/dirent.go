package ninep

// Dirent is one entry of Rreaddir's data: qid[13] offset[8] type[1] name[s].
type Dirent struct {
	QID    QID
	Offset uint64 // cookie that continues after this entry; opaque
	Type   uint8  // DT_* of readdir(3)
	Name   string
}

// DirentSize returns the bytes that an entry with this name takes in Rreaddir.
func DirentSize(name string) int { return 13 + 8 + 1 + 2 + len(name) }

// AppendDirent appends an entry to the data of an Rreaddir. It fails only with [ErrTooLong].
func AppendDirent(dst []byte, d Dirent) ([]byte, error) {
	c := codec{buf: dst}
	d.fields(&c)
	if c.err != nil {
		return dst, c.err
	}
	return c.buf, nil
}

// NextDirent decodes the first entry of an Rreaddir's data and returns what follows it. Errors wrap [ErrMalformed]. A
// name is as the server sent it: whoever makes a path of it has to check it.
func NextDirent(data []byte) (d Dirent, rest []byte, err error) {
	c := codec{buf: data, decoding: true}
	d.fields(&c)
	return d, c.buf, c.err
}

func (d *Dirent) fields(c *codec) {
	c.qid(&d.QID)
	c.u64(&d.Offset)
	c.u8(&d.Type)
	c.str(&d.Name)
}
