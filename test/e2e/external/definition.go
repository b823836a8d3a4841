package external

import (
	_ "embed"
	"fmt"

	"sigs.k8s.io/yaml"
)

//go:embed testdriver.yaml
var testdriver []byte

// definition is what the suite reads from testdriver.yaml, as far as the driver sets it: its types are those of
// k8s.io/kubernetes/test/e2e/storage/external and .../storage/framework.
type definition struct {
	StorageClass struct{ FromFile string }
	DriverInfo   struct {
		Name                   string
		Capabilities           map[string]bool
		SupportedFsType        map[string]struct{}
		SupportedSizeRange     struct{ Min, Max, Step string }
		SupportedMountOption   map[string]struct{}
		MaxFileSize            int64
		StressTestOptions      struct{ NumPods, NumRestarts int }
		PerformanceTestOptions struct {
			ProvisioningOptions struct {
				VolumeSize      string
				Count           int
				ExpectedMetrics struct {
					AvgLatency int64 // nanoseconds
					Throughput float64
				}
			}
		}
	}
	Timeouts map[string]string
}

// parseDefinition refuses keys that the suite does not know: the suite itself ignores them in silence.
func parseDefinition(file []byte) (*definition, error) {
	d := new(definition)
	if err := yaml.UnmarshalStrict(file, d); err != nil {
		return nil, fmt.Errorf("testdriver.yaml: %w", err)
	}
	return d, nil
}
