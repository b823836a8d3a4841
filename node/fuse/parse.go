package fuse

// publish makes a request whose head has just been read known to interrupt.
func (r *Request) publish() {
	r.mu.Lock()
	r.live = true
	r.mu.Unlock()
	r.unique.Store(view[InHeader](bytesOf(r.inline[:])).Unique &^ uniqueResent)
}

// adopt takes in a request of n bytes whose first headSize bytes are in r.inline and whose others are in slot, and checks its
// shape. It reports whether r goes on using slot, which then must become its buf.
func (r *Request) adopt(n int, slot []byte) (keep bool, err error) {
	head := bytesOf(r.inline[:])
	if n < headSize {
		r.in = head[:max(n, inHeaderSize)]
	} else {
		r.in = head[:headSize]
	}
	h := r.Header()
	if n < inHeaderSize || int64(h.Len) != int64(n) {
		return false, errMalformed
	}
	if n > headSize {
		keep = r.gather(slot[:n-headSize])
	}
	return keep, r.parse()
}

// gather takes the rest of a request, whose head is r.in: it stays where it is if it is a payload, or else follows the head.
func (r *Request) gather(rest []byte) (keep bool) {
	op := r.Opcode()
	head := len(r.in)
	n := head + len(rest)
	switch {
	case op == OpWrite, op == OpBatchForget && n > inlineSize:
		r.tail = rest
		return true
	case n <= inlineSize:
		r.in = bytesOf(r.inline[:])[:n]
	default:
		r.in = bytesOf(make([]uint64, (n+7)/8))[:n]
		copy(r.in, bytesOf(r.inline[:])[:head])
	}
	copy(r.in[head:], rest)
	return false
}

// parse checks what gather collected against the opcode's shape and finds names and payload.
func (r *Request) parse() error {
	op := r.Opcode()
	if int64(op) >= int64(len(shapes)) || shapes[op].name == "" {
		return nil
	}
	s := &shapes[op]
	rest := r.in[inHeaderSize:]
	if len(rest) < int(s.args) {
		return errMalformed
	}
	rest = rest[s.args:]
	var err error
	if s.names > 0 {
		if r.name, rest, err = cutName(rest); err != nil {
			return err
		}
	}
	if s.names > 1 {
		if r.name2, rest, err = cutName(rest); err != nil {
			return err
		}
	}
	switch op {
	case OpWrite:
		r.payload = r.tail
		return checkSize(In[WriteIn](r).Size, len(r.payload))
	case OpSetxattr:
		r.payload = rest
		return checkSize(In[SetxattrIn](r).Size, len(rest))
	case OpBatchForget:
		entries := (len(rest) + len(r.tail)) / forgetOneSize
		if int64(In[BatchForgetIn](r).Count) > int64(entries) {
			return errMalformed
		}
	}
	return nil
}

func checkSize(announced uint32, got int) error {
	if uint64(announced) != uint64(got) {
		return errMalformed
	}
	return nil
}
