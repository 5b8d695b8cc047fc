package storage

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// folderPrefix is what the keys in a folder start with.
func folderPrefix(key string) string {
	if key == "" || strings.HasSuffix(key, "/") {
		return key
	}
	return key + "/"
}

// WalkDir lists everything below root in one go, 1000 keys a request, and makes
// up the folders in between. Within S3's order of keys all of a folder's are
// next to one another.
func (o objects) WalkDir(root string, fn fs.WalkDirFunc) error {
	bucket, key, err := splitS3(root)
	if err != nil {
		return err
	}
	w := &walker{root: strings.TrimRight(root, "/"), fn: fn}
	err = w.walk(object{o.client, bucket, key})
	if errors.Is(err, fs.SkipAll) || errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

// walker calls fn for a sorted list of keys as if they were files in folders.
type walker struct {
	root    string
	fn      fs.WalkDirFunc
	begun   bool
	folders []string // path below root of the folder we are in, by component
	skip    string   // keys below root that start so are left out; "" for none
}

func (w *walker) walk(obj object) error {
	prefix := folderPrefix(obj.key)
	pages := s3.NewListObjectsV2Paginator(obj.client, &s3.ListObjectsV2Input{Bucket: &obj.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return w.fn(w.root, fs.FileInfoToDirEntry(fileInfo{name: path.Base(w.root), dir: true}), obj.explain("list", err))
		}
		for _, item := range page.Contents {
			below := strings.TrimPrefix(aws.ToString(item.Key), prefix)
			info := fileInfo{size: aws.ToInt64(item.Size), modTime: aws.ToTime(item.LastModified), etag: aws.ToString(item.ETag)}
			if err := w.visit(below, info); err != nil {
				return err
			}
		}
	}
	if w.begun {
		return nil
	}
	return w.walkFile(obj)
}

// walkFile is for a root without anything below: one object, or nothing.
func (w *walker) walkFile(obj object) error {
	if obj.key == "" {
		return w.begin()
	}
	obj.key = strings.TrimSuffix(obj.key, "/")
	info, err := obj.head()
	if err != nil {
		return w.fn(w.root, nil, err)
	}
	return w.fn(w.root, fs.FileInfoToDirEntry(info), nil)
}

func (w *walker) begin() error {
	if w.begun {
		return nil
	}
	w.begun = true
	return w.fn(w.root, fs.FileInfoToDirEntry(fileInfo{name: path.Base(w.root), dir: true}), nil)
}

// visit takes the next key, below the root.
func (w *walker) visit(below string, info fileInfo) error {
	if err := w.begin(); err != nil {
		return err
	}
	if w.skip != "" && strings.HasPrefix(below, w.skip) {
		return nil
	}
	parts := strings.Split(below, "/")
	folders, name := parts[:len(parts)-1], parts[len(parts)-1]
	same := 0
	for same < len(folders) && same < len(w.folders) && folders[same] == w.folders[same] {
		same++
	}
	w.folders = folders
	for depth := same + 1; depth <= len(folders); depth++ {
		dir := strings.Join(folders[:depth], "/")
		err := w.fn(w.root+"/"+dir, fs.FileInfoToDirEntry(fileInfo{name: folders[depth-1], dir: true}), nil)
		if errors.Is(err, fs.SkipDir) {
			w.skip = dir + "/"
			return nil
		}
		if err != nil {
			return err
		}
	}
	if name == "" {
		return nil // an object that some tools make to stand for an empty folder
	}
	info.name = name
	err := w.fn(w.root+"/"+below, fs.FileInfoToDirEntry(info), nil)
	if errors.Is(err, fs.SkipDir) { // of a file: the rest of its folder
		if len(folders) == 0 {
			return fs.SkipAll
		}
		w.skip = strings.Join(folders, "/") + "/"
		return nil
	}
	return err
}
