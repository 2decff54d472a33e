// Command local-provisioner makes a `local` PersistentVolume, a directory on the node the scheduler chose, for every
// pending claim of its StorageClass, and removes volume and directory when the claim is gone.
//
// It runs beside the control plane, on the machine that holds every node's directories, so it needs no helper pods.
// `local` instead of `hostPath`, because only the former honours fsGroup.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// resync bounds how long a failed attempt waits for its next one.
const resync = 2 * time.Second

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the provisioner")
	nodes := flag.String("nodes", "", "directory on this machine; NODES/<node>/volumes is the node's volume directory")
	mount := flag.String("mount", "", "path of that volume directory as the node sees it")
	flag.Parse()
	if err := run(*kubeconfig, *nodes, *mount); err != nil {
		log.Fatal(err)
	}
}

func run(kubeconfig, nodes, mount string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	changed := make(chan struct{}, 1)
	factory := informers.NewSharedInformerFactory(client, 0)
	wake := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke(changed) },
		UpdateFunc: func(any, any) { poke(changed) },
		DeleteFunc: func(any) { poke(changed) },
	}
	claims := factory.Core().V1().PersistentVolumeClaims()
	volumes := factory.Core().V1().PersistentVolumes()
	classes := factory.Storage().V1().StorageClasses()
	if _, err := claims.Informer().AddEventHandler(wake); err != nil {
		return err
	}
	if _, err := volumes.Informer().AddEventHandler(wake); err != nil {
		return err
	}
	if _, err := classes.Informer().AddEventHandler(wake); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	p := provisioner{
		client:  client,
		claims:  claims.Lister(),
		volumes: volumes.Lister(),
		classes: classes.Lister(),
		host:    func(node, volume string) string { return filepath.Join(nodes, node, "volumes", volume) },
		mount:   mount,
	}
	ticker := time.NewTicker(resync)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-ticker.C:
		}
		p.sync(ctx)
	}
}

// poke asks for one more pass; one request waiting is enough.
func poke(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}
