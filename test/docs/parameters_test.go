package docs_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/csi-9p/csi-9p/driver/params"
)

// withoutDefault are the parameters that have no value of their own unless they are given.
var withoutDefault = []string{"share", "server", "controllerServer", "tlsServerName"}

// TestParameterNames holds the names that the page documents against those that the parser lists when it is asked for
// one that is like none.
func TestParameterNames(t *testing.T) {
	_, list, found := strings.Cut(reason(t, strings.Repeat("z", 40), ""), "there are ")
	if !found {
		t.Fatal("the parser does not list its parameters")
	}
	known := strings.Split(list, ", ")
	documented := names(t)
	for _, name := range known {
		if !slices.Contains(documented, name) {
			t.Errorf("parameter %s is not documented", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(known, name) {
			t.Errorf("parameter %s is documented and does not exist", name)
		}
	}
}

func TestParameterDefaults(t *testing.T) {
	for _, row := range parameterRows(t) {
		name, value := spans(row[0])[0], spans(row[1])
		if slices.Contains(withoutDefault, name) {
			continue
		}
		if len(value) != 1 {
			t.Errorf("%s: its default is not documented", name)
			continue
		}
		given, err := params.Parse(with(name, value[0]))
		if err != nil {
			t.Errorf("%s: its default is refused: %v", name, err)
			continue
		}
		if left, _ := params.Parse(with(name, "")); given != left {
			t.Errorf("%s: %s is not its default", name, value[0])
		}
	}
}

// TestParameterValues holds the documented values against what the parser accepts, refuses, and lists when it is given
// a wrong one.
func TestParameterValues(t *testing.T) {
	for _, row := range parameterRows(t) {
		name := spans(row[0])[0]
		now, later, _ := strings.Cut(row[2], "; later:")
		for _, value := range literals(now) {
			if _, err := params.Parse(with(name, value)); err != nil {
				t.Errorf("%s=%s is documented and refused: %v", name, value, err)
			}
			if _, err := params.Parse(with(strings.ToUpper(name), value)); err != nil {
				t.Errorf("%s=%s is not taken in capitals: %v", name, value, err)
			}
		}
		for _, value := range literals(later) {
			if got := reason(t, name, value); !strings.Contains(got, "comes with a later release") {
				t.Errorf("%s=%s is documented as coming later; the parser says: %s", name, value, got)
			}
		}
		if _, list, found := strings.Cut(reason(t, name, "-"), "must be one of "); found {
			checkSame(t, name, literals(now), strings.Split(list, ", "))
		}
		checkBounds(t, name, literals(now))
	}
}

// TestParameterCase makes sure that the page's word on upper and lower case is true of every parameter.
func TestParameterCase(t *testing.T) {
	for _, name := range names(t) {
		for _, spelling := range []string{strings.ToUpper(name), strings.ToLower(name)} {
			if got := reason(t, spelling, "\x00"); strings.Contains(got, "is not known") {
				t.Errorf("%s is not known as %s", name, spelling)
			}
		}
	}
}

func checkSame(t *testing.T, name string, documented, accepted []string) {
	t.Helper()
	slices.Sort(documented)
	slices.Sort(accepted)
	if !slices.Equal(documented, accepted) {
		t.Errorf("%s: documented are %q, the parser takes %q", name, documented, accepted)
	}
}

var bounds = regexp.MustCompile(`from (\d+) to (\d+)`)

// checkBounds makes sure that the documented values hold the bounds that the parser names.
func checkBounds(t *testing.T, name string, documented []string) {
	t.Helper()
	m := bounds.FindStringSubmatch(reason(t, name, "-1"))
	if m == nil {
		return
	}
	for _, bound := range m[1:] {
		want := resource.MustParse(bound)
		if !slices.ContainsFunc(documented, func(value string) bool {
			q, err := resource.ParseQuantity(value)
			return err == nil && q.Cmp(want) == 0
		}) {
			t.Errorf("%s: its bound %s is not documented in %q", name, bound, documented)
		}
	}
}

// parameterRows returns the table of docs/parameters.md.
func parameterRows(t *testing.T) [][]string {
	t.Helper()
	return readPage(t, "docs/parameters.md").table(t, "| key |")
}

func names(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, row := range parameterRows(t) {
		all = append(all, spans(row[0])...)
	}
	return all
}

// literals returns the values that a cell quotes; a list of letters, or the name of another parameter, is none.
func literals(cell string) []string {
	if _, after, found := strings.Cut(cell, "as of `"); found {
		return literals(after[strings.Index(after, "`")+1:])
	}
	var all []string
	for _, s := range spans(cell) {
		if !slices.Contains([]string{"-", "_", "."}, s) {
			all = append(all, s)
		}
	}
	return all
}

// with returns the parameters of a volume that sets one; an empty value leaves it out.
func with(name, value string) map[string]string {
	values := map[string]string{}
	if !strings.EqualFold(name, "server") && !strings.EqualFold(name, "share") {
		values["server"] = "tcp://10.0.0.5"
	}
	if value != "" {
		values[name] = value
	}
	return values
}

// reason returns why the parser refuses a value.
func reason(t *testing.T, name, value string) string {
	t.Helper()
	values := with(name, value)
	values[name] = value
	_, err := params.Parse(values)
	var refused *params.Error
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ""
}
