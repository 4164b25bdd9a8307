"""Pure functions on tensors: features, pictures, clips, voxels, keypoints in; numbers out."""
