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
  count: 1
  defaultExtrusionLength: 5
  nozzleDiameter: 0.4
  offsets:
  - - 0.0
    - 0.0
  sharedNozzle: false
heatedBed: true
heatedChamber: false
id: other
model: x
name: Other
volume:
  custom_box:
    x_max: 250.0
    x_min: -50.0
    y_max: 210.0
    y_min: -50.0
    z_max: 210.0
    z_min: 0.0
  depth: 100.0
  formFactor: circular
  height: 100.0
  origin: center
  width: 100.0
