package guest

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// The marks of the place that is filled.
const (
	placeBegins = "<!-- guest -->\n"
	placeEnds   = "<!-- end -->"
)

// errNoPlace says that a page has no place to fill.
var errNoPlace = errors.New("the page has no place " + strings.TrimSpace(placeBegins) + " ... " + placeEnds)

// fillPage replaces what is in the place of a page.
func fillPage(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(b), placeBegins)
	_, after, ends := strings.Cut(rest, placeEnds)
	if !begins || !ends {
		return fmt.Errorf("%s: %w", path, errNoPlace)
	}
	return os.WriteFile(path, []byte(before+placeBegins+"\n"+strings.TrimSpace(text)+"\n\n"+placeEnds+after), 0o644)
}
