// Package order is what the lab and the program inside its guest say to each other, over two ports of a virtio console:
// JSON values, a line each. On the port [Orders] the guest begins with a [Hello], and answers each [Step] by an [Outcome].
// On the port [Host] a scenario asks a [Question] about the host's side and gets an [Answer]. The port [Output] has what
// programs print, as they do, for whoever waits.
package order

import (
	"bufio"
	"encoding/json"
	"io"
	"time"
)

// The names of the ports.
const (
	Orders = "csi-9p.orders"
	Host   = "csi-9p.host"
	Output = "csi-9p.output"
)

// Hello says what has booted.
type Hello struct {
	Kernel string // its release
	IOMMU  bool   // devices are behind one
	Error  string // what went wrong before; "" if nothing
}

// Step is a program to run in the guest.
type Step struct {
	Name    string
	Args    []string // argument 0 is the path of the program
	Env     []string // added to the environment
	Timeout time.Duration
}

// Outcome is how a step ended.
type Outcome struct {
	Step    string
	Error   string            // "" if the program ended with status 0 in time and left nothing
	Output  string            // the last of what it printed
	Results map[string]string // what it left in [ResultsDir], by file name
	Took    time.Duration
}

// ResultsDir is where a step's program leaves what the lab is to have.
const ResultsDir = "/results"

// TableFile is the result of a step that measures: Markdown.
const TableFile = "table.md"

// Question asks for the digest of a file of the share, or for the names in a directory of it.
type Question struct {
	Digest string // path of a file, relative to the share
	List   string // path of a directory, relative to the share
}

// Answer is what a [Question] asked for.
type Answer struct {
	Digest string // SHA-256, in hexadecimal
	Names  []string
	Error  string // "" if it could be answered
}

// Port reads and writes lines.
type Port struct {
	w     io.Writer
	lines *bufio.Reader
}

// NewPort returns a port on a connection, which remains the caller's.
func NewPort(conn io.ReadWriter) *Port { return &Port{w: conn, lines: bufio.NewReader(conn)} }

// Send writes a value.
func (p *Port) Send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = p.w.Write(append(b, '\n'))
	return err
}

// Receive reads the next value into v. At the end of the connection it returns io.EOF.
func (p *Port) Receive(v any) error {
	b, err := p.lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
