package external

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

// Spec is one of the suite's specs, and what came of it.
type Spec struct {
	Name string
	Took time.Duration
	Text string // of its failure or its skip
}

// Group are the specs that were skipped for one reason.
type Group struct {
	Missing string // what testdriver.yaml does not claim; "" where the suite rules the specs out for every driver
	Why     string
	Specs   []Spec
}

func (g Group) String() string { return strings.TrimPrefix(g.Missing+": "+g.Why, ": ") }

// Results are those of one run of the suite.
type Results struct {
	Passed, Failed []Spec
	Skipped        []Group
	Unaccepted     []Spec // skipped, and not for something that the driver does not claim
	unreached      int    // specs that were to run and that the report does not know
	suite          []string
}

// parse reads what ginkgo's --json-report wrote. Specs that a focus left out do not count.
func parse(report io.Reader) (*Results, error) {
	var suites []types.Report
	if err := json.NewDecoder(report).Decode(&suites); err != nil {
		return nil, fmt.Errorf("ginkgo's report: %w", err)
	}
	r := new(Results)
	groups := map[reason][]Spec{}
	for _, suite := range suites {
		r.suite = append(r.suite, suite.SpecialSuiteFailureReasons...)
		r.unreached += suite.PreRunStats.SpecsThatWillRun
		for _, s := range suite.SpecReports {
			r.add(s, groups)
		}
	}
	for why, specs := range groups {
		r.Skipped = append(r.Skipped, Group{Missing: why.missing, Why: why.why, Specs: sorted(specs)})
	}
	slices.SortFunc(r.Skipped, func(a, b Group) int {
		return cmp.Or(len(b.Specs)-len(a.Specs), cmp.Compare(a.Missing, b.Missing), cmp.Compare(a.Why, b.Why))
	})
	sorted(r.Passed)
	sorted(r.Failed)
	sorted(r.Unaccepted)
	return r, nil
}

func sorted(specs []Spec) []Spec {
	slices.SortFunc(specs, func(a, b Spec) int { return cmp.Compare(a.Name, b.Name) })
	return specs
}

func (r *Results) add(s types.SpecReport, groups map[reason][]Spec) {
	spec := Spec{Name: name(s), Took: s.RunTime, Text: s.Failure.Message}
	if s.LeafNodeType != types.NodeTypeIt {
		if s.State.Is(types.SpecStateFailureStates) {
			r.Failed = append(r.Failed, spec)
		}
		return
	}
	switch {
	case s.State.Is(types.SpecStatePassed):
		r.Passed = append(r.Passed, spec)
	case s.State.Is(types.SpecStateFailureStates):
		r.Failed = append(r.Failed, spec)
	case s.State.Is(types.SpecStateSkipped) && spec.Text != "":
		why, ok := accept(spec.Text)
		if !ok {
			r.Unaccepted = append(r.Unaccepted, spec)
			break
		}
		groups[reason{missing: why.missing, why: why.why}] = append(groups[reason{missing: why.missing, why: why.why}], spec)
	default:
		return
	}
	r.unreached--
}

// name is that of a spec without the words that all of them begin with.
func name(s types.SpecReport) string {
	if len(s.ContainerHierarchyTexts) == 0 {
		return cmp.Or(s.LeafNodeText, s.LeafNodeType.String())
	}
	return strings.Join(append(slices.Clone(s.ContainerHierarchyTexts[1:]), s.LeafNodeText), " ")
}

// Err says what is wrong with the run, nil if every spec passed that the driver claims to pass.
func (r *Results) Err() error {
	var errs []error
	for _, reason := range r.suite {
		errs = append(errs, fmt.Errorf("the suite failed: %s", reason))
	}
	if len(r.Failed) > 0 {
		errs = append(errs, fmt.Errorf("%d specs failed", len(r.Failed)))
	}
	for _, s := range r.Unaccepted {
		errs = append(errs, fmt.Errorf("%s was skipped, which no missing capability explains: %s", s.Name, s.Text))
	}
	if r.unreached != 0 {
		errs = append(errs, fmt.Errorf("%d specs were to run and were never reached", r.unreached))
	}
	if len(r.Passed) == 0 {
		errs = append(errs, errors.New("no spec passed"))
	}
	return errors.Join(errs...)
}

// WriteText says what ran and what did not, and why.
func (r *Results) WriteText(w io.Writer) error {
	skipped := 0
	for _, g := range r.Skipped {
		skipped += len(g.Specs)
	}
	b := new(strings.Builder)
	fmt.Fprintf(b, "External.Storage: %d passed, %d failed, %d skipped by what the driver does not claim, %d skipped otherwise\n",
		len(r.Passed), len(r.Failed), skipped, len(r.Unaccepted))
	for _, list := range []struct {
		what  string
		specs []Spec
	}{{"passed", r.Passed}, {"FAILED", r.Failed}, {"SKIPPED, and no missing capability explains it", r.Unaccepted}} {
		if len(list.specs) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n%s:\n", list.what)
		for _, s := range list.specs {
			fmt.Fprintf(b, "  %5.1fs  %s\n", s.Took.Seconds(), s.Name)
			if s.Text != "" {
				fmt.Fprintf(b, "          %s\n", strings.ReplaceAll(strings.TrimSpace(s.Text), "\n", "\n          "))
			}
		}
	}
	fmt.Fprint(b, "\nskipped:\n")
	for _, g := range r.Skipped {
		fmt.Fprintf(b, "  %3d  %s\n", len(g.Specs), g)
		byText := map[string][]string{}
		for _, s := range g.Specs {
			byText[s.Text] = append(byText[s.Text], s.Name)
		}
		for _, text := range slices.Sorted(maps.Keys(byText)) {
			fmt.Fprintf(b, "       %s\n         %s\n", text, strings.Join(byText[text], "\n         "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
