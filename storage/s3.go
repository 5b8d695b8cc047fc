package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// objects is the FileIO of S3, for every bucket of one object store. Its methods
// carry no context, as iceberg-go calls them; the client bounds each request.
type objects struct {
	client *client
}

var _ FileIO = objects{}

// object is the place of one file on S3.
type object struct {
	client      *client
	bucket, key string
}

// splitS3 takes bucket and key out of an s3:// location, as they stand.
func splitS3(location string) (bucket, key string, err error) {
	if scheme := schemeOf(location); scheme != "s3" && scheme != "s3a" {
		return "", "", fmt.Errorf("%q is not on S3: write s3://bucket/key", location)
	}
	_, rest, _ := strings.Cut(location, "://")
	bucket, key, _ = strings.Cut(rest, "/")
	if bucket == "" {
		return "", "", fmt.Errorf("%q has no bucket: write s3://bucket/prefix", location)
	}
	return bucket, key, nil
}

// object refuses what can only be a folder.
func (o objects) object(op, location string) (object, error) {
	bucket, key, err := splitS3(location)
	if err == nil && (key == "" || strings.HasSuffix(key, "/")) {
		err = errFolderName
	}
	if err != nil {
		return object{}, &fs.PathError{Op: op, Path: location, Err: err}
	}
	return object{o.client, bucket, key}, nil
}

// Open makes no request: a missing object is found out by the first read.
func (o objects) Open(name string) (iceio.File, error) {
	obj, err := o.object("open", name)
	if err != nil {
		return nil, err
	}
	return &s3File{object: obj}, nil
}

func (o objects) ReadFile(name string) ([]byte, error) {
	obj, err := o.object("read", name)
	if err != nil {
		return nil, err
	}
	return obj.readAll()
}

func (o objects) Create(name string) (iceio.FileWriter, error) {
	obj, err := o.object("create", name)
	if err != nil {
		return nil, err
	}
	return newS3Writer(obj), nil
}

func (o objects) WriteFile(name string, content []byte) error {
	obj, err := o.object("write", name)
	if err != nil {
		return err
	}
	w := newS3Writer(obj)
	if int64(len(content)) <= o.client.partSize {
		w.filling = content // sent as it is, not copied
	} else {
		_, _ = w.Write(content) // Close returns what went wrong
	}
	return w.Close()
}

// Stat finds objects, and folders by what is below them.
func (o objects) Stat(name string) (fs.FileInfo, error) {
	bucket, key, err := splitS3(name)
	if err != nil {
		return nil, err
	}
	obj := object{o.client, bucket, strings.TrimSuffix(key, "/")}
	if obj.key == key && key != "" {
		info, err := obj.head()
		if err == nil {
			return info, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	list, err := o.client.ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{
		Bucket: &bucket, Prefix: aws.String(folderPrefix(key)), MaxKeys: aws.Int32(1)})
	if err != nil {
		return nil, obj.explain("stat", err)
	}
	if len(list.Contents) == 0 && key != "" {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return fileInfo{name: path.Base(name), dir: true}, nil
}

// head asks for size and version of an object. A missing one satisfies
// errors.Is(err, fs.ErrNotExist).
func (o object) head() (fileInfo, error) {
	out, err := o.client.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: &o.bucket, Key: &o.key})
	if err != nil {
		return fileInfo{}, o.explain("stat", err)
	}
	if out.ContentLength == nil {
		return fileInfo{}, o.fail("stat", errNoLength)
	}
	return fileInfo{
		name: path.Base(o.key), size: *out.ContentLength,
		modTime: aws.ToTime(out.LastModified), etag: aws.ToString(out.ETag),
	}, nil
}

// Remove looks first: S3 does not say whether there was an object to delete.
func (o objects) Remove(name string) error {
	obj, err := o.object("remove", name)
	if err != nil {
		return err
	}
	if _, err := obj.head(); err != nil {
		return err
	}
	_, err = o.client.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: &obj.bucket, Key: &obj.key})
	return obj.explain("remove", err)
}

// deleteBatch is what S3 takes in one DeleteObjects.
const deleteBatch = 1000

func (o objects) DeleteFiles(ctx context.Context, names []string) (deleted []string, err error) {
	var errs []error
	byBucket := map[string][]string{}
	for _, name := range names {
		obj, err := o.object("remove", name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		byBucket[obj.bucket] = append(byBucket[obj.bucket], name)
	}
	for bucket, names := range byBucket {
		for len(names) > 0 && ctx.Err() == nil {
			batch := names[:min(deleteBatch, len(names))]
			names = names[len(batch):]
			gone, err := o.deleteBatch(ctx, bucket, batch)
			deleted = append(deleted, gone...)
			errs = append(errs, err)
		}
	}
	return deleted, errors.Join(append(errs, ctx.Err())...)
}

// deleteBatch deletes objects of one bucket. Missing ones count as deleted.
func (o objects) deleteBatch(ctx context.Context, bucket string, names []string) (deleted []string, err error) {
	keys := make([]string, len(names))
	ids := make([]types.ObjectIdentifier, len(names))
	for i, name := range names {
		if _, keys[i], err = splitS3(name); err != nil {
			return nil, err
		}
		ids[i].Key = &keys[i]
	}
	out, err := o.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: &bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
	if err != nil {
		return nil, object{o.client, bucket, ""}.explain("remove", err)
	}
	kept := map[string]bool{}
	var errs []error
	for _, e := range out.Errors {
		key := aws.ToString(e.Key)
		if aws.ToString(e.Code) == "NoSuchKey" {
			continue
		}
		kept[key] = true
		errs = append(errs, object{o.client, bucket, key}.explain("remove", fromCode(aws.ToString(e.Code), aws.ToString(e.Message))))
	}
	for i, name := range names {
		if !kept[keys[i]] {
			deleted = append(deleted, name)
		}
	}
	return deleted, errors.Join(errs...)
}

// readAll reads an object with one GET, more only where a connection broke.
func (o object) readAll() ([]byte, error) {
	f := &s3File{object: o}
	data, err := f.fetch(0, wholeObject, nil)
	if err == io.EOF { //nolint:errorlint // io.EOF itself: the object is empty
		return []byte{}, nil
	}
	return data, err
}

// fileInfo describes an object, or a folder made of key prefixes.
type fileInfo struct {
	name    string
	size    int64
	modTime time.Time
	etag    string
	dir     bool
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) ModTime() time.Time { return i.modTime }
func (i fileInfo) IsDir() bool        { return i.dir }
func (i fileInfo) Sys() any           { return nil }

func (i fileInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o777
	}
	return 0o666
}
