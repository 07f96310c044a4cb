axes:
  e:
    inverted: false
    speed: 300
  x:
    inverted: false
    speed: 6000
  y:
    inverted: false
    speed: 6000
  z:
    inverted: false
    speed: 200
color: default
extruder:
  count: 2
  defaultExtrusionLength: 5
  nozzleDiameter: 0.6
  offsets:
  - - 0.0
    - 0.0
  sharedNozzle: true
heatedBed: true
heatedChamber: true
id: _default
model: Original Prusa
name: MK3S+
volume:
  custom_box:
    x_max: 250.0
    x_min: 0.0
    y_max: 210.0
    y_min: -4.0
    z_max: 210.0
    z_min: 0.0
  depth: 210.0
  formFactor: rectangular
  height: 210.0
  origin: lowerleft
  width: 250.0
