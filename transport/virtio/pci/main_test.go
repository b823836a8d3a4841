package pci_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	switch os.Getenv(ownerVariable) {
	case "own":
		fmt.Println(own())
	case "lock":
		fmt.Println(lock())
	default:
		goleak.VerifyTestMain(m)
	}
}
