package external

import (
	"strings"
	"testing"
)

func TestTestdriver(t *testing.T) {
	d, err := parseDefinition(testdriver)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reasons {
		if d.DriverInfo.Capabilities[r.missing] {
			t.Errorf("a skip for want of the capability %s is accepted (%s), but testdriver.yaml claims it", r.missing, r.text)
		}
	}
}

func TestParseDefinitionRefusesUnknownKeys(t *testing.T) {
	_, err := parseDefinition([]byte("DriverInfo: {Name: x}\nVolumeAttributeClass: {FromFile: y}\n"))
	if err == nil || !strings.Contains(err.Error(), "VolumeAttributeClass") {
		t.Errorf("got the error %v, want one with the key", err)
	}
}
