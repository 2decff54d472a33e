package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
)

const (
	// provisionerName is what a StorageClass names in its `provisioner` field.
	provisionerName = "beachmaster.dev/local"
	// provisionedBy keeps kube-controller-manager from deleting (and failing to delete) our volumes itself.
	provisionedBy = "pv.kubernetes.io/provisioned-by"
	// selectedNode is set on a claim by the scheduler under volumeBindingMode WaitForFirstConsumer.
	selectedNode = "volume.kubernetes.io/selected-node"
	hostnameKey  = "kubernetes.io/hostname"
)

type provisioner struct {
	client  kubernetes.Interface
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	// host is a volume's directory on this machine.
	host func(node, volume string) string
	// mount is the parent of all volume directories as a node sees it.
	mount string
}

// sync makes what is missing and removes what was released. It may run at any time and any number of times.
func (p *provisioner) sync(ctx context.Context) {
	claims, err := p.claims.List(labels.Everything())
	if err != nil {
		log.Printf("list claims: %v", err)
	}
	for _, claim := range claims {
		if node := p.wanted(claim); node != "" {
			report("provision", claim.Namespace+"/"+claim.Name, p.provision(ctx, claim, node))
		}
	}
	volumes, err := p.volumes.List(labels.Everything())
	if err != nil {
		log.Printf("list volumes: %v", err)
	}
	for _, volume := range volumes {
		if released(volume) {
			report("remove", volume.Name, p.remove(ctx, volume))
		}
	}
}

func report(act, object string, err error) {
	if err != nil {
		log.Printf("%s %s: %v", act, object, err)
		return
	}
	log.Printf("%s %s: done", act, object)
}

// wanted is the node on which this claim needs a volume now, or "".
func (p *provisioner) wanted(claim *corev1.PersistentVolumeClaim) string {
	if claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return ""
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil || class.Provisioner != provisionerName {
		return ""
	}
	if _, err := p.volumes.Get(volumeName(claim)); err == nil {
		return ""
	}
	return claim.Annotations[selectedNode]
}

// volumeName holds the claim's uid: a claim made again under an old name never gets an old volume.
func volumeName(claim *corev1.PersistentVolumeClaim) string {
	return "pvc-" + string(claim.UID)
}

func (p *provisioner) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim, node string) error {
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if err != nil {
		return err
	}
	name := volumeName(claim)
	if err := os.MkdirAll(p.host(node, name), 0o755); err != nil {
		return err
	}
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{provisionedBy: provisionerName},
			Labels:      map[string]string{hostnameKey: node},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      claim.Spec.Resources.Requests,
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			StorageClassName:              class.Name,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: filepath.Join(p.mount, name)},
			},
			NodeAffinity: onNode(node),
		},
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func onNode(node string) *corev1.VolumeNodeAffinity {
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{
				Key: hostnameKey, Operator: corev1.NodeSelectorOpIn, Values: []string{node},
			}},
		}},
	}}
}

func released(volume *corev1.PersistentVolume) bool {
	return volume.Annotations[provisionedBy] == provisionerName &&
		volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete &&
		(volume.Status.Phase == corev1.VolumeReleased || volume.Status.Phase == corev1.VolumeFailed)
}

// remove deletes the directory first: an object that is gone would leave nobody who knows of the directory.
func (p *provisioner) remove(ctx context.Context, volume *corev1.PersistentVolume) error {
	node := volume.Labels[hostnameKey]
	if node == "" {
		return fmt.Errorf("the volume has no label %s: delete it by hand", hostnameKey)
	}
	if err := os.RemoveAll(p.host(node, volume.Name)); err != nil {
		return err
	}
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
