// Command populator stands in for the image registry.k8s.io/sig-storage/hello-populator, with the flags that the spec
// "should provision storage with any volume data source" gives it. As a controller it fills the volumes of claims that
// refer to a Hello, by a pod in which it runs to populate.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// period is how often the controller looks for claims.
const period = time.Second

func main() {
	mode := flag.String("mode", "", "controller or populate")
	image := flag.String("image-name", "", "of the pods that populate")
	namespace := flag.String("namespace", "hello", "of the pods that populate")
	file := flag.String("file-name", "", "path that populate writes")
	contents := flag.String("file-contents", "", "what populate writes")
	flag.String("http-endpoint", "", "not served")
	flag.Parse()

	var err error
	switch *mode {
	case "controller":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		err = control(ctx, *namespace, *image)
	case "populate":
		err = os.WriteFile(*file, []byte(*contents), 0o644)
	default:
		err = fmt.Errorf("--mode=%s: want controller or populate", *mode)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func control(ctx context.Context, namespace, image string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	hellos, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	c := &controller{client: client, hellos: hellos, namespace: namespace, image: image}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		if err := c.reconcile(ctx); err != nil && ctx.Err() == nil {
			log.Print(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
