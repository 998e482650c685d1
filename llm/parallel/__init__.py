"""Where a model lives and what it needs: meshes of devices, several hosts, memory, arithmetic."""
